-- Parents and staff first, then the students. The password of user n is `password-n`.
INSERT INTO users (id, email, phone, cognito_user_id, password_hash, first_name, last_name, role, status, school_id,
                   email_verified, phone_verified, timezone, last_login_at, created_at, updated_at)
SELECT seed.user_key(n), 'user' || n || '@example.test', '+9198' || lpad(n::text, 8, '0'), 'cognito-user-' || n,
       'sha256$' || encode(sha256(convert_to('password-' || n, 'UTF8')), 'hex'),
       seed.word(n, 41, '{Aarav,Aditi,Arjun,Diya,Ishaan,Kavya,Meera,Neha,Rohan,Saanvi,Vihaan,Zoya}'),
       seed.word(n, 42, '{Bose,Das,Gupta,Iyer,Khan,Kumar,Menon,Nair,Patel,Rao,Sharma,Singh}'),
       CASE WHEN n <= seed.parents() THEN 'parent'
            ELSE seed.word(n, 43, '{school_admin,kitchen_staff,kitchen_staff,vendor,super_admin}') END,
       CASE WHEN seed.u(n, 44) < 0.97 THEN 'ACTIVE' ELSE 'INACTIVE' END,
       seed.school_key(seed.school_of_user(n)), true, seed.u(n, 45) < 0.9, 'Asia/Kolkata',
       seed.day(seed.whole(n, 46, 1, 40)) + seed.ist(seed.whole(n, 47, 420, 1320)),
       seed.day(seed.whole(n, 48, 180, 700)), seed.day(seed.whole(n, 46, 1, 40))
  FROM generate_series(1, seed.user_rows()) AS n;

INSERT INTO users (id, email, password_hash, first_name, last_name, role, status, school_id, parent_id, grade, section,
                   timezone, created_at, updated_at)
SELECT seed.student_key(n), 'student' || n || '@example.test', '!',
       seed.word(n, 51, '{Aarav,Aditi,Arjun,Diya,Ishaan,Kavya,Meera,Neha,Rohan,Saanvi,Vihaan,Zoya}'),
       seed.word(parent, 42, '{Bose,Das,Gupta,Iyer,Khan,Kumar,Menon,Nair,Patel,Rao,Sharma,Singh}'),
       'student', 'ACTIVE', seed.school_key(seed.school_of_user(parent)), seed.user_key(parent),
       seed.whole(n, 52, 1, 12)::text, seed.word(n, 53, '{A,B,C,D}'), 'Asia/Kolkata',
       seed.day(seed.whole(n, 54, 180, 700)), seed.day(seed.whole(n, 55, 1, 180))
  FROM (SELECT n, seed.parent_of(n) AS parent FROM generate_series(1, seed.student_rows()) AS n OFFSET 0) AS student;
