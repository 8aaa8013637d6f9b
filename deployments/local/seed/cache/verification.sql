-- rfid.service: a verification lives a day, so the newest school day's are here.
SELECT 'verification:' || id, json_build_object('orderId', order_id, 'studentId', student_id, 'status', status)::text,
       36000 + abs(hashtext(id)) % 36000
  FROM delivery_verifications ORDER BY verified_at DESC LIMIT 1500
