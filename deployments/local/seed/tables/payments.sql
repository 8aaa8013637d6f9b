-- One for each of the newest orders.
INSERT INTO payments (id, user_id, order_id, payment_method_id, amount, status, payment_type, razorpay_payment_id,
                      razorpay_order_id, gateway_response, failure_reason, paid_at, refunded_at, created_at, updated_at)
SELECT seed.payment_key(n), seed.user_key(parent), seed.order_key(n),
       CASE WHEN parent <= seed.payment_method_rows() THEN seed.payment_method_key(parent) END, total,
       CASE status WHEN 'pending' THEN 'pending' WHEN 'cancelled' THEN 'refunded'
                   ELSE CASE WHEN seed.u(n, 92) < 0.99 THEN 'completed' ELSE 'failed' END END,
       'order', 'pay_' || lpad(n::text, 14, '0'), 'order_' || lpad(n::text, 14, '0'), '{"acquirer": "hdfc"}',
       CASE WHEN seed.u(n, 92) >= 0.99 THEN 'card declined' END,
       CASE WHEN status <> 'pending' THEN placed_at + interval '20 seconds' END,
       CASE WHEN status = 'cancelled' THEN placed_at + interval '1 hour' END, placed_at, placed_at
  FROM seed.orders WHERE n <= seed.payment_rows() ORDER BY n DESC;
