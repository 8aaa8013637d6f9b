SELECT 'idempotency:' || md5(id), json_build_object('status', 201, 'body', json_build_object('orderId', id))::text,
       20000 + abs(hashtext(id)) % 60000
  FROM orders ORDER BY created_at DESC LIMIT 500
