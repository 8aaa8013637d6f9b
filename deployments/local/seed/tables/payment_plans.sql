INSERT INTO payment_plans (id, school_id, name, plan_type, installment_count, installment_interval, created_at,
                           updated_at)
SELECT seed.payment_plan_key(n), seed.school_key(n), 'Plan of school ' || n, 'installment', 3, 'monthly',
       seed.day(300), seed.day(300)
  FROM generate_series(1, seed.payment_plan_rows()) AS n;
