INSERT INTO roles (id, name, description, permissions, created_at, updated_at)
SELECT seed.role_key(n), name, 'May do what a ' || replace(name, '_', ' ') || ' does', '["' || name || ':*"]',
       seed.day(700), seed.day(700)
  FROM unnest('{parent,student,school_admin,kitchen_staff,vendor,super_admin}'::text[]) WITH ORDINALITY AS r (name, n);
