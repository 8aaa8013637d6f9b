-- Three for each school: reader n stands in school (n - 1) % 60 + 1.
INSERT INTO rfid_readers (id, name, location, school_id, ip_address, status, last_heartbeat, configuration,
                          created_at, updated_at)
SELECT seed.rfid_reader_key(n), 'Reader ' || n, seed.word(n, 191, '{canteen,gate,hall}'),
       seed.school_key((n - 1) % 60 + 1), '10.9.' || n / 250 || '.' || n % 250, 'online', seed.day(0),
       '{"firmware": "2.4.1"}', seed.day(400), seed.day(1)
  FROM generate_series(1, seed.rfid_reader_rows()) AS n;
