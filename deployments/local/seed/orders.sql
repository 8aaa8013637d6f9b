-- The narrow truth of every order, from which orders, lines, payments and deliveries are written.
CREATE UNLOGGED TABLE seed.orders AS
SELECT n, day, student, parent, school, status,
       seed.line_total(seed.first_line(n), school)
         + CASE WHEN seed.first_line(n + 1) - seed.first_line(n) = 2
                THEN seed.line_total(seed.first_line(n) + 1, school) ELSE 0 END AS total,
       seed.day(day) - interval '1 day' + seed.ist(seed.placed_minute(1 - (position - day))) AS placed_at,
       seed.day(day) + seed.ist(720 + 30 * seed.whole(student, 33, 0, 2)) AS slot,
       seed.day(day) + seed.ist(720 + 30 * seed.whole(student, 33, 0, 2) + 40 * power(seed.u(n, 34), 2)) AS served_at
  FROM (SELECT n, position, floor(position)::integer AS day, student, parent, school,
               CASE WHEN position < 1 THEN CASE WHEN dice < 0.30 THEN 'pending' WHEN dice < 0.80 THEN 'confirmed'
                                                WHEN dice < 0.95 THEN 'preparing' ELSE 'cancelled' END
                    WHEN dice < 0.945 THEN 'delivered' WHEN dice < 0.995 THEN 'cancelled' ELSE 'confirmed' END AS status
          FROM (SELECT n, position, student, seed.parent_of(student) AS parent,
                       seed.school_of_user(seed.parent_of(student)) AS school, dice
                  FROM (SELECT n, seed.u(n, 32) AS dice,
                               -- 180 school days, a little more orders each: the platform grows
                               180 * power((n - 0.5)::double precision / seed.order_rows(), 1 / 0.9::double precision) AS position,
                               -- some students eat every day, others seldom
                               1 + floor(seed.student_rows() * power(seed.u(n, 31), 1.3))::bigint AS student
                          FROM generate_series(1, seed.order_rows()) AS n
                        OFFSET 0) AS drawn
                OFFSET 0) AS placed
        OFFSET 0) AS judged
 ORDER BY n;
ALTER TABLE seed.orders ADD PRIMARY KEY (n);
ANALYZE seed.orders;
