SELECT 'rfid_reader:' || id,
       json_build_object('id', id, 'name', name, 'location', location, 'schoolId', school_id, 'status', status,
                         'isActive', is_active)::text, 300 + abs(hashtext(id)) % 300
  FROM rfid_readers
