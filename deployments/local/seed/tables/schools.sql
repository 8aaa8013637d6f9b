INSERT INTO schools (id, name, code, address, city, state, postal_code, phone, email, principal_name,
                     subscription_tier, configuration, created_at, updated_at)
SELECT seed.school_key(n), 'School ' || n, 'SCH-' || lpad(n::text, 4, '0'),
       '{"line1": "' || n || ' School Road"}',
       seed.word(n, 61, '{Bengaluru,Chennai,Hyderabad,Mumbai,Pune}'), 'IN', (560000 + n)::text,
       '+9180' || lpad(n::text, 8, '0'), 'school' || n || '@example.test', 'Principal ' || n,
       CASE WHEN n <= 8 THEN 'PREMIUM' WHEN n <= 25 THEN 'STANDARD' ELSE 'BASIC' END,
       '{"lunchBreaks": 3}', seed.day(800 - n::integer), seed.day(n::integer)
  FROM generate_series(1, seed.school_rows()) AS n;
