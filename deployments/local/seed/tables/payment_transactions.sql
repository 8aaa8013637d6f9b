INSERT INTO payment_transactions (id, razorpay_payment_id, payment_order_id, amount, status, method, gateway, fees,
                                  created_at, captured_at, refunded_at, updated_at)
SELECT seed.payment_transaction_key(n), 'pay_' || lpad(n::text, 14, '0'), seed.payment_order_key(n), total * 100,
       CASE status WHEN 'pending' THEN 'created' WHEN 'cancelled' THEN 'refunded' ELSE 'captured' END,
       seed.word(n, 101, '{upi,upi,upi,card,wallet,netbanking}'), 'razorpay', '{"percent": 2.0}',
       placed_at, CASE WHEN status <> 'pending' THEN placed_at + interval '20 seconds' END,
       CASE WHEN status = 'cancelled' THEN placed_at + interval '1 hour' END, placed_at
  FROM seed.orders WHERE n <= seed.payment_transaction_rows() ORDER BY n DESC;
