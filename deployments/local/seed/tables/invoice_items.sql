INSERT INTO invoice_items (id, invoice_id, order_id, description, quantity, unit_price, total_price, item_type,
                           created_at)
SELECT seed.invoice_item_key(n), seed.invoice_key((n - 1) / 2 + 1), seed.order_key(n), 'School meal', 1,
       seed.whole(n, 271, 30, 200), seed.whole(n, 271, 30, 200), 'meal', seed.day(1 + (n / 200)::integer)
  FROM generate_series(1, seed.invoice_item_rows()) AS n;
