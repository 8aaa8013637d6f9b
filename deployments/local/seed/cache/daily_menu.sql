-- By its key, as dailyMenu.service asks for one; the application's own family part is daily_menu:date:….
SELECT 'daily_menu:' || id,
       json_build_object('id', id, 'schoolId', school_id, 'date', date, 'isPublished', is_published)::text,
       300 + abs(hashtext(id)) % 300
  FROM daily_menus ORDER BY id LIMIT 300
