-- One for each of the newest orders.
INSERT INTO payment_orders (id, razorpay_order_id, amount, status, user_id, order_id, metadata, expires_at,
                            created_at, updated_at)
SELECT seed.payment_order_key(n), 'order_' || lpad(n::text, 14, '0'), total * 100,
       CASE status WHEN 'pending' THEN 'created' WHEN 'cancelled' THEN 'refunded' ELSE 'paid' END,
       seed.user_key(parent), seed.order_key(n), '{"channel": "app"}', placed_at + interval '15 minutes',
       placed_at, placed_at
  FROM seed.orders WHERE n <= seed.payment_order_rows() ORDER BY n DESC;
