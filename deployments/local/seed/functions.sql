-- Deterministic pseudo-randomness and the calendar of the seed. All of it lives in the schema `seed`, which is
-- dropped when the data is in. {thresholds} and {school_day} are filled by seed.py, which also writes the functions
-- <kind>_key(n) and <kind>_rows() from identity.py.

-- Uniform in [0, 1): the lower 52 bits of PostgreSQL's seeded 64-bit hash. No random(): the same rows every time.
CREATE FUNCTION seed.u(n bigint, salt bigint) RETURNS double precision IMMUTABLE LANGUAGE sql
RETURN (hashint8extended(n, salt) & 4503599627370495) / 4503599627370496.0::double precision;

-- A whole number from lo to hi.
CREATE FUNCTION seed.whole(n bigint, salt bigint, lo integer, hi integer) RETURNS integer IMMUTABLE LANGUAGE sql
RETURN lo + floor(seed.u(n, salt) * (hi - lo + 1))::integer;

-- One of several words.
CREATE FUNCTION seed.word(n bigint, salt bigint, words text[]) RETURNS text IMMUTABLE LANGUAGE sql
RETURN words[1 + floor(seed.u(n, salt) * cardinality(words))::integer];

-- Users 1 to parents() are parents, the others staff. Brothers and sisters share parent and school.
CREATE FUNCTION seed.parents() RETURNS bigint IMMUTABLE LANGUAGE sql RETURN 18000;
CREATE FUNCTION seed.parent_of(student bigint) RETURNS bigint IMMUTABLE LANGUAGE sql
RETURN (student - 1) % seed.parents() + 1;

-- Schools of very different sizes: school k has a share of 1 / k^0.9 (a Zipf-like law).
CREATE FUNCTION seed.school_of_user(n bigint) RETURNS bigint IMMUTABLE LANGUAGE sql
RETURN 1 + width_bucket(seed.u(n, 11), {thresholds});

-- Midnight (UTC) of the k-th school day before the newest one; Saturdays and Sundays are none.
CREATE FUNCTION seed.day(k integer) RETURNS timestamp IMMUTABLE LANGUAGE sql
RETURN DATE '{school_day}'::timestamp
     - make_interval(days => k + 2 * ((k + 5 - extract(isodow FROM DATE '{school_day}')::integer) / 5));

-- A minute of the Indian day (UTC + 5:30) as minutes after midnight UTC: the platform stores UTC.
CREATE FUNCTION seed.ist(minute double precision) RETURNS interval IMMUTABLE LANGUAGE sql
RETURN make_interval(secs => (minute - 330) * 60);

-- The minute of the Indian day by which the share q of a day's orders was placed: 45 % fall between 11:30 and 13:30.
CREATE FUNCTION seed.placed_minute(q double precision) RETURNS double precision IMMUTABLE LANGUAGE sql
RETURN CASE WHEN q < 0.10 THEN 390 + q / 0.10 * 90
            WHEN q < 0.25 THEN 480 + (q - 0.10) / 0.15 * 210
            WHEN q < 0.70 THEN 690 + (q - 0.25) / 0.45 * 120
            WHEN q < 0.80 THEN 810 + (q - 0.70) / 0.10 * 210
            WHEN q < 0.97 THEN 1020 + (q - 0.80) / 0.17 * 240
            ELSE 1260 + (q - 0.97) / 0.03 * 120 END;

-- Lines of orders: every order has one or two, the newest order has the first lines.
CREATE FUNCTION seed.order_of_line(line bigint) RETURNS bigint IMMUTABLE LANGUAGE sql
RETURN (line - 1) * seed.order_rows() / seed.order_item_rows() + 1;
CREATE FUNCTION seed.first_line(n bigint) RETURNS bigint IMMUTABLE LANGUAGE sql
RETURN ((n - 1) * seed.order_item_rows() + seed.order_rows() - 1) / seed.order_rows() + 1;
CREATE FUNCTION seed.item_of_line(line bigint, school bigint) RETURNS bigint IMMUTABLE LANGUAGE sql
RETURN school + 60 * floor(50 * power(seed.u(line, 21), 2))::bigint;
CREATE FUNCTION seed.quantity(line bigint) RETURNS integer IMMUTABLE LANGUAGE sql
RETURN CASE WHEN seed.u(line, 22) < 0.78 THEN 1 WHEN seed.u(line, 22) < 0.96 THEN 2 ELSE 3 END;
CREATE FUNCTION seed.price(item bigint) RETURNS integer IMMUTABLE LANGUAGE sql
RETURN seed.whole(item, 23, 30, 200);
CREATE FUNCTION seed.line_total(line bigint, school bigint) RETURNS integer IMMUTABLE LANGUAGE sql
RETURN seed.quantity(line) * seed.price(seed.item_of_line(line, school));
