SELECT 'csrf:' || session_id, to_json(md5(session_id))::text, 1800 + abs(hashtext(session_id)) % 1800
  FROM auth_sessions WHERE is_active
