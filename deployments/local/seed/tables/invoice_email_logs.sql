INSERT INTO invoice_email_logs (id, invoice_id, email_type, recipient_email, status, sent_at, subject, email_provider,
                                created_at)
SELECT seed.invoice_email_log_key(n), seed.invoice_key(n), 'invoice',
       'user' || seed.whole(n, 261, 1, 18000) || '@example.test', 'delivered', seed.day(1 + (n / 100)::integer),
       'Your invoice', 'ses', seed.day(1 + (n / 100)::integer)
  FROM generate_series(1, seed.invoice_email_log_rows()) AS n;
