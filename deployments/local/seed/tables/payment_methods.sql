INSERT INTO payment_methods (id, user_id, method_type, provider, provider_method_id, upi_handle, is_default,
                             created_at, updated_at)
SELECT seed.payment_method_key(n), seed.user_key(n), seed.word(n, 211, '{upi,upi,card,wallet}'), 'razorpay',
       'method_' || n, 'user' || n || '@upi', true, seed.day(200), seed.day(100)
  FROM generate_series(1, seed.payment_method_rows()) AS n;
