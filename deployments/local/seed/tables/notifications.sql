INSERT INTO notifications (id, user_id, title, body, type, priority, data, status, sent_at, delivered_at, read_at,
                           channels, created_at, updated_at)
SELECT seed.notification_key(n), seed.user_key(to_user), 'Your order', 'Your order is on its way', kind,
       seed.word(n, 333, '{normal,normal,normal,high}'), '{"order": ' || n || '}',
       CASE WHEN n <= 500 THEN 'pending' ELSE seed.word(n, 334, '{delivered,delivered,read,read,failed}') END,
       CASE WHEN n > 500 THEN at END, CASE WHEN n > 500 THEN at + interval '3 seconds' END,
       CASE WHEN seed.u(n, 335) < 0.4 THEN at + interval '9 minutes' END, '["push"]', at, at
  FROM (SELECT n, (1 + floor(seed.parents() * power(seed.u(n, 331), 1.3)))::bigint AS to_user,
               seed.word(n, 332, '{order_update,order_update,delivery,payment,announcement}') AS kind,
               seed.day((n / 600)::integer + 1) + seed.ist(seed.placed_minute(seed.u(n, 336))) AS at
          FROM generate_series(1, seed.notification_rows()) AS n OFFSET 0) AS notification
 ORDER BY n DESC;
