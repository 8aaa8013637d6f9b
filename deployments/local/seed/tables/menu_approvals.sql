INSERT INTO menu_approvals (id, menu_plan_id, approver_id, approval_type, status, approved_at, created_at, updated_at)
SELECT seed.menu_approval_key(n), seed.menu_plan_key(n), seed.user_key(seed.parents() + 1 + n % 1000),
       seed.word(n, 151, '{NUTRITION,SCHOOL_ADMIN}'), CASE WHEN n <= 20 THEN 'PENDING' ELSE 'APPROVED' END,
       CASE WHEN n > 20 THEN seed.day((n / 6)::integer) END, seed.day((n / 6)::integer + 3), seed.day((n / 6)::integer)
  FROM generate_series(1, seed.menu_approval_rows()) AS n;
