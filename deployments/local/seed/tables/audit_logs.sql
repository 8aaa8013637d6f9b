INSERT INTO audit_logs (id, entity_type, entity_id, action, changes, user_id, created_by_id, ip_address, user_agent,
                        created_at)
SELECT seed.audit_log_key(n), kind,
       CASE kind WHEN 'order' THEN seed.order_key(seed.whole(n, 72, 1, seed.order_rows()::integer))
                 WHEN 'menu' THEN seed.menu_plan_key(seed.whole(n, 72, 1, seed.menu_plan_rows()::integer))
                 WHEN 'rfid_card' THEN seed.rfid_card_key(seed.whole(n, 72, 1, seed.rfid_card_rows()::integer))
                 ELSE seed.user_key(seed.whole(n, 72, 1, seed.user_rows()::integer)) END,
       seed.word(n, 73, '{CREATE,UPDATE,UPDATE,UPDATE,DELETE,LOGIN}'),
       '{"fields": ["status", "updated_at"]}',
       CASE WHEN seed.u(n, 74) < 0.9 THEN seed.user_key(seed.whole(n, 75, 1, seed.user_rows()::integer)) END,
       seed.user_key(seed.parents() + 1 + floor((seed.user_rows() - seed.parents()) * power(seed.u(n, 76), 2))::bigint),
       '10.0.' || seed.whole(n, 77, 0, 255) || '.' || seed.whole(n, 78, 1, 254),
       seed.word(n, 79, '{HASIVU/3.2 (Android),HASIVU/3.2 (iOS),Mozilla/5.0}'),
       seed.day((n * 120 / seed.audit_log_rows())::integer + 1) + seed.ist(seed.placed_minute(seed.u(n, 70)))
  FROM (SELECT n, seed.word(n, 71, '{order,order,order,menu,user,rfid_card}') AS kind
          FROM generate_series(1, seed.audit_log_rows()) AS n OFFSET 0) AS entry;
