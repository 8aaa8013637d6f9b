SELECT 'report:' || id, json_build_object('name', name, 'type', type, 'generatedAt', generated_at)::text, NULL
  FROM analytics_reports
