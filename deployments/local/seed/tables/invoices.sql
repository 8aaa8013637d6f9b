INSERT INTO invoices (id, school_id, user_id, invoice_number, invoice_date, due_date, subtotal, tax_amount,
                      total_amount, gst_rate, status, paid_date, payment_id, email_sent, created_at, updated_at)
SELECT seed.invoice_key(n), seed.school_key(seed.school_of_user(payer)), seed.user_key(payer),
       'INV-' || lpad(n::text, 8, '0'), seed.day(day), seed.day(day) + interval '15 days', amount, amount * 0.05,
       amount * 1.05, 5, CASE WHEN n <= 400 THEN 'sent' ELSE 'paid' END,
       CASE WHEN n > 400 THEN seed.day(day) + interval '3 days' END, seed.payment_key(n), true, seed.day(day),
       seed.day(day)
  FROM (SELECT n, 1 + (n / 100)::integer AS day, seed.whole(n, 261, 1, 18000)::bigint AS payer,
               seed.whole(n, 262, 300, 4000) AS amount
          FROM generate_series(1, seed.invoice_rows()) AS n OFFSET 0) AS invoice;
