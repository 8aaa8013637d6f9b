INSERT INTO whatsapp_messages (id, user_id, phone, type, status, whatsapp_message_id, template_name, message, sent_at,
                               delivered_at, read_at, created_at, updated_at)
SELECT seed.whatsapp_message_key(n), seed.user_key(to_user), '+9198' || lpad(to_user::text, 8, '0'), 'template',
       seed.word(n, 162, '{read,read,delivered,delivered,sent,failed}'), 'wamid.' || n,
       'template_' || seed.whole(n, 163, 1, 12), 'Your meal is ready', at, at + interval '4 seconds',
       CASE WHEN seed.u(n, 164) < 0.5 THEN at + interval '5 minutes' END, at, at
  FROM (SELECT n, seed.whole(n, 161, 1, 18000) AS to_user,
               seed.day((n / 200)::integer + 1) + seed.ist(seed.placed_minute(seed.u(n, 165))) AS at
          FROM generate_series(1, seed.whatsapp_message_rows()) AS n OFFSET 0) AS message;
