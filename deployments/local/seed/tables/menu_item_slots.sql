-- Ten dishes for each daily menu, all of its school.
INSERT INTO menu_item_slots (id, daily_menu_id, menu_item_id, category, planned_quantity, available_quantity,
                             is_special, is_limited, max_per_order, display_order, is_visible, created_at, updated_at)
SELECT seed.menu_item_slot_key(n), seed.daily_menu_key(menu),
       seed.menu_item_key((menu - 1) % 60 + 1 + 60 * ((seed.whole(menu, 141, 0, 49) + 7 * place) % 50)),
       CASE WHEN place < 2 THEN 'BREAKFAST' WHEN place < 7 THEN 'LUNCH' ELSE 'SNACKS' END,
       seed.whole(n, 142, 50, 400), seed.whole(n, 143, 0, 50), seed.u(n, 144) < 0.1, seed.u(n, 145) < 0.2, 5,
       place::integer, seed.u(n, 146) < 0.95, seed.day(((menu - 1) / 60)::integer + 10),
       seed.day(((menu - 1) / 60)::integer + 3)
  FROM (SELECT n, (n - 1) / 10 + 1 AS menu, (n - 1) % 10 AS place
          FROM generate_series(1, seed.menu_item_slot_rows()) AS n) AS slot
 ORDER BY n DESC;
