INSERT INTO payment_retries (id, payment_id, attempt_number, retry_at, retry_reason, status, created_at, updated_at)
SELECT seed.payment_retry_key(n), seed.payment_key(n * 30), 1, seed.day((n / 40)::integer + 1), 'card declined',
       seed.word(n, 221, '{succeeded,succeeded,failed}'), seed.day((n / 40)::integer + 1),
       seed.day((n / 40)::integer + 1)
  FROM generate_series(1, seed.payment_retry_rows()) AS n;
