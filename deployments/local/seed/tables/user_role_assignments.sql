INSERT INTO user_role_assignments (id, user_id, role_id, created_at)
SELECT seed.user_role_assignment_key(n), seed.user_key(n),
       seed.role_key(CASE WHEN n <= seed.parents() THEN 1 ELSE seed.whole(n, 64, 3, 6) END),
       seed.day(seed.whole(n, 48, 180, 700))
  FROM generate_series(1, seed.user_role_assignment_rows()) AS n;
