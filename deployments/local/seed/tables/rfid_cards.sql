-- Card n belongs to student n.
INSERT INTO rfid_cards (id, card_number, student_id, school_id, issued_at, expires_at, last_used_at, created_at,
                        updated_at)
SELECT seed.rfid_card_key(n), 'RFID-' || lpad(n::text, 8, '0'), seed.student_key(n),
       seed.school_key(seed.school_of_user(seed.parent_of(n))), seed.day(170), seed.day(0) + interval '1 year',
       seed.day(seed.whole(n, 181, 1, 30)) + seed.ist(seed.whole(n, 182, 720, 810)), seed.day(170),
       seed.day(seed.whole(n, 181, 1, 30))
  FROM generate_series(1, seed.rfid_card_rows()) AS n;
