INSERT INTO order_items (id, order_id, menu_item_id, quantity, unit_price, total_price, created_at, updated_at)
SELECT seed.order_item_key(line), seed.order_key(n), seed.menu_item_key(item), quantity, price, quantity * price,
       placed_at, placed_at
  FROM (SELECT line, n, placed_at, item, seed.quantity(line) AS quantity, seed.price(item) AS price
          FROM (SELECT line, o.n, placed_at, seed.item_of_line(line, school) AS item
                  FROM generate_series(1, seed.order_item_rows()) AS line
                  JOIN seed.orders AS o ON o.n = seed.order_of_line(line)
                OFFSET 0) AS ordered
        OFFSET 0) AS priced
 ORDER BY line DESC;
