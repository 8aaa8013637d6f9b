INSERT INTO subscription_plans (id, school_id, name, plan_type, price, billing_cycle, meals_per_day, created_at,
                                updated_at)
SELECT seed.subscription_plan_key(n), seed.school_key(n), 'Meal plan ' || n, 'monthly', 1100 + 100 * n, 'monthly',
       1 + (n / 4)::integer, seed.day(400), seed.day(300)
  FROM generate_series(1, seed.subscription_plan_rows()) AS n;
