-- The older form of the tie between parent and child: kept for the first students only.
INSERT INTO parent_children (id, parent_id, child_id, relationship, created_at, updated_at)
SELECT seed.parent_child_key(n), seed.user_key(seed.parent_of(n)), seed.student_key(n),
       seed.word(n, 62, '{parent,mother,father,guardian}'), seed.day(400), seed.day(300)
  FROM generate_series(1, seed.parent_child_rows()) AS n;
