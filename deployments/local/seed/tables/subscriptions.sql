INSERT INTO subscriptions (id, school_id, user_id, student_id, subscription_plan_id, payment_method_id, status,
                           start_date, end_date, next_billing_date, billing_cycle, billing_amount, created_at,
                           updated_at)
SELECT seed.subscription_key(n), seed.school_key(seed.school_of_user(n)), seed.user_key(n), seed.student_key(n),
       seed.subscription_plan_key((n - 1) % 5 + 1), seed.payment_method_key(n),
       seed.word(n, 241, '{active,active,active,active,paused,cancelled}'), seed.day(150), NULL,
       seed.day(0) + interval '14 days', 'monthly', 1200 + 100 * ((n - 1) % 5), seed.day(150), seed.day(20)
  FROM generate_series(1, seed.subscription_rows()) AS n;
