INSERT INTO auth_sessions (id, user_id, session_id, is_active, ip_address, user_agent, last_activity, expires_at,
                           created_at, updated_at)
SELECT seed.auth_session_key(n), seed.user_key(user_number), 'session-' || n, n <= 2000,
       '10.0.' || seed.whole(n, 77, 0, 255) || '.' || seed.whole(n, 78, 1, 254), 'HASIVU/3.2 (Android)',
       seed.day(day) + seed.ist(seed.whole(n, 82, 420, 1320)), seed.day(day) + interval '31 days',
       seed.day(day), seed.day(day)
  FROM (SELECT n, seed.whole(n, 81, 1, seed.user_rows()::integer) AS user_number, 1 + (n / 400)::integer AS day
          FROM generate_series(1, seed.auth_session_rows()) AS n OFFSET 0) AS session;
