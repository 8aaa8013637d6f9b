SELECT 'user_sessions:' || user_id, json_build_object('sessions', json_agg(session_id ORDER BY session_id))::text, 86400
  FROM auth_sessions WHERE is_active GROUP BY user_id
