-- As the application writes them when it reads a card: all test cards, and the cards of the busiest children.
SELECT 'rfid_card:' || c.card_number,
       json_build_object('id', c.id, 'cardNumber', c.card_number, 'isActive', c.is_active,
                         'expiresAt', to_char(c.expires_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                         'student', json_build_object('id', u.id, 'firstName', u.first_name, 'lastName', u.last_name,
                                                      'grade', u.grade, 'section', u.section),
                         'school', json_build_object('id', s.id, 'name', s.name))::text,
       300 + abs(hashtext(c.id)) % 300
  FROM rfid_cards AS c JOIN users AS u ON u.id = c.student_id JOIN schools AS s ON s.id = c.school_id
 ORDER BY c.id LIMIT 2000
