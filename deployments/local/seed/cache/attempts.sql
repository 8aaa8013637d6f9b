SELECT 'attempts:' || email, '1', 900 + abs(hashtext(email)) % 900
  FROM users WHERE role = 'parent' ORDER BY id DESC LIMIT 25
