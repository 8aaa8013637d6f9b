INSERT INTO student_parents (id, student_id, parent_id, relationship, is_primary, emergency_contact, contact_priority,
                             created_at, updated_at)
SELECT seed.student_parent_key(n), seed.student_key(n), seed.user_key(seed.parent_of(n)),
       seed.word(n, 62, '{parent,mother,father,guardian}'), true, seed.u(n, 63) < 0.8, 1,
       seed.day(seed.whole(n, 54, 180, 700)), seed.day(180)
  FROM generate_series(1, seed.student_parent_rows()) AS n;
