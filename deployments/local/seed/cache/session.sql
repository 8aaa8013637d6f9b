-- auth.service: a session lives a day; the cache holds those that are open now.
SELECT 'session:' || session_id,
       json_build_object('userId', s.user_id, 'role', u.role, 'startedAt', s.last_activity)::text,
       86400 - (abs(hashtext(session_id)) % 36000)
  FROM auth_sessions AS s JOIN users AS u ON u.id = s.user_id WHERE s.is_active
