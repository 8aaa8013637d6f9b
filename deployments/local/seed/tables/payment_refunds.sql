INSERT INTO payment_refunds (id, razorpay_refund_id, payment_id, amount, status, reason, created_at, processed_at)
SELECT seed.payment_refund_key(r), 'rfnd_' || lpad(r::text, 14, '0'), seed.payment_transaction_key(r * 40), total * 100,
       'processed', seed.word(r, 102, '{order cancelled,duplicate payment,child absent}'),
       placed_at + interval '1 hour', placed_at + interval '1 day'
  FROM generate_series(1, seed.payment_refund_rows()) AS r JOIN seed.orders AS o ON o.n = r * 40;
