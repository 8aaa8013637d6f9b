INSERT INTO billing_cycles (id, subscription_id, cycle_number, cycle_start, cycle_end, billing_amount, total_amount,
                            status, billing_date, due_date, paid_date, payment_id, created_at, updated_at)
SELECT seed.billing_cycle_key(n), seed.subscription_key((n - 1) % seed.subscription_rows() + 1),
       (1 + (n - 1) / seed.subscription_rows())::integer, seed.day(60), seed.day(40), 1300, 1300,
       seed.word(n, 251, '{paid,paid,paid,due}'), seed.day(60), seed.day(57), seed.day(58), seed.payment_key(n),
       seed.day(60), seed.day(58)
  FROM generate_series(1, seed.billing_cycle_rows()) AS n;
