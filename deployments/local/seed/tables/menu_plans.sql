-- Plan n belongs to school (n - 1) % 60 + 1 and covers the ten school days from the day ((n - 1) / 60) · 10 back.
INSERT INTO menu_plans (id, school_id, name, start_date, end_date, is_template, status, approved_by, approved_at,
                        created_by, created_at, updated_at)
SELECT seed.menu_plan_key(n), seed.school_key((n - 1) % 60 + 1), 'Menu plan ' || n, seed.day(block * 10 + 9),
       seed.day(block * 10), seed.u(n, 121) < 0.05, CASE WHEN block = 0 THEN 'ACTIVE' ELSE 'ARCHIVED' END,
       seed.user_key(seed.parents() + 1 + n % 1000), seed.day(block * 10 + 12),
       seed.user_key(seed.parents() + 1001 + n % 1000), seed.day(block * 10 + 20), seed.day(block * 10 + 12)
  FROM (SELECT n, ((n - 1) / 60)::integer AS block FROM generate_series(1, seed.menu_plan_rows()) AS n) AS plan;
