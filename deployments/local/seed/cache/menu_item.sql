SELECT 'menu_item:' || id,
       json_build_object('id', id, 'name', name, 'category', category, 'price', price::double precision,
                         'available', available)::text, 300 + abs(hashtext(id)) % 300
  FROM menu_items ORDER BY id LIMIT 1200
