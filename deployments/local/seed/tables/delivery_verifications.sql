-- Every delivery of the newest past days; the reader is one of the school's three, the canteen's mostly.
INSERT INTO delivery_verifications (id, order_id, student_id, card_id, reader_id, verified_at, status, location,
                                    verification_data, created_at, updated_at)
SELECT seed.delivery_verification_key(n - today), seed.order_key(n), seed.student_key(student),
       seed.rfid_card_key(student), seed.rfid_reader_key(school + 60 * floor(3 * power(seed.u(n, 201), 3))::bigint),
       served_at, CASE WHEN status <> 'delivered' THEN 'rejected' WHEN seed.u(n, 202) < 0.985 THEN 'verified'
                       ELSE 'failed' END,
       '{"venue": "canteen"}', '{"signalStrength": -' || seed.whole(n, 203, 30, 80) || '}', served_at, served_at
  FROM seed.orders, (SELECT count(*) AS today FROM seed.orders WHERE day = 0) AS counted
 WHERE n > today AND n <= today + seed.delivery_verification_rows()
 ORDER BY served_at;
