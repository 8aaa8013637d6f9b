-- Item n belongs to school (n - 1) % 60 + 1: fifty a school, of which the first two can always be ordered.
INSERT INTO menu_items (id, name, description, category, price, original_price, available, featured,
                        nutritional_info, allergens, tags, preparation_time, portion_size, calories, school_id,
                        sort_order, created_at, updated_at)
SELECT seed.menu_item_key(n),
       seed.word(n, 111, '{Idli,Dosa,Poha,Upma,Paneer wrap,Rajma rice,Veg pulao,Chapati,Curd rice,Fruit bowl,Lassi,Samosa}')
         || ' ' || n,
       'Freshly made, dish ' || n, seed.word(n, 112, '{BREAKFAST,LUNCH,LUNCH,LUNCH,SNACKS,BEVERAGES,DESSERTS}'),
       seed.price(n), seed.price(n) + 10, n <= 120 OR seed.u(n, 113) < 0.9, seed.u(n, 114) < 0.1,
       '{"protein_g": ' || seed.whole(n, 115, 2, 30) || '}',
       CASE WHEN seed.u(n, 116) < 0.3 THEN '["dairy"]' ELSE '[]' END,
       '["' || seed.word(n, 117, '{veg,veg,veg,egg,jain}') || '"]', seed.whole(n, 118, 5, 30), '1 plate',
       seed.whole(n, 119, 80, 650), seed.school_key((n - 1) % 60 + 1), (n / 60)::integer,
       seed.day(seed.whole(n, 110, 30, 600)), seed.day(seed.whole(n, 110, 30, 600) / 2)
  FROM generate_series(1, seed.menu_item_rows()) AS n;
