INSERT INTO user_devices (id, user_id, device_id, device_type, device_model, os_version, app_version, fcm_token,
                          last_seen, created_at, updated_at)
SELECT seed.user_device_key(n), seed.user_key(n), 'device-' || n, seed.word(n, 321, '{android,android,android,ios}'),
       'Model ' || seed.whole(n, 322, 1, 40), seed.whole(n, 323, 11, 16)::text, '3.2.' || seed.whole(n, 324, 0, 9),
       'fcm-' || n, seed.day(seed.whole(n, 325, 1, 60)), seed.day(200), seed.day(seed.whole(n, 325, 1, 60))
  FROM generate_series(1, seed.user_device_rows()) AS n;
