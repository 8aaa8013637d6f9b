-- Menu n: school (n - 1) % 60 + 1, (n - 1) / 60 school days back, so 1 to 60 are today's. `date` is unique over all
-- schools in this schema, so a menu's date is the day at second `school`.
INSERT INTO daily_menus (id, school_id, menu_plan_id, date, available_quantity, is_published, published_at,
                         created_at, updated_at)
SELECT seed.daily_menu_key(n), seed.school_key(school), seed.menu_plan_key(school + 60 * (back / 10)),
       seed.day(back) + make_interval(secs => school), seed.whole(n, 131, 100, 900), true,
       seed.day(back + 3), seed.day(back + 10), seed.day(back + 3)
  FROM (SELECT n, (n - 1) % 60 + 1 AS school, ((n - 1) / 60)::integer AS back
          FROM generate_series(1, seed.daily_menu_rows()) AS n) AS menu
 ORDER BY n DESC;
