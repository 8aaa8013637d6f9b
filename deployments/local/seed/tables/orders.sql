INSERT INTO orders (id, order_number, user_id, student_id, school_id, status, total_amount, order_date, delivery_date,
                    delivered_at, special_instructions, payment_status, metadata, created_at, updated_at)
SELECT seed.order_key(n), 'ORD-' || lpad(n::text, 9, '0'), seed.user_key(parent), seed.student_key(student),
       seed.school_key(school), status, total, placed_at, slot,
       CASE WHEN status = 'delivered' THEN served_at END,
       CASE WHEN seed.u(n, 91) < 0.05 THEN 'Less spicy, please' END,
       CASE status WHEN 'pending' THEN 'pending' WHEN 'cancelled' THEN 'refunded'
                   ELSE CASE WHEN seed.u(n, 92) < 0.99 THEN 'paid' ELSE 'failed' END END,
       '{"source": "' || seed.word(n, 93, '{android,android,ios,web}') || '"}',
       placed_at, CASE WHEN status = 'delivered' THEN served_at ELSE placed_at END
  FROM seed.orders ORDER BY n DESC;  -- the heap is in the order of time, as inserts would have left it
