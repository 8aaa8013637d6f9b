INSERT INTO analytics_reports (id, name, type, metrics, dimensions, "dateRange", data, generated_at, generated_by,
                               created_at, updated_at)
SELECT seed.analytics_report_key(n), 'Report ' || n, seed.word(n, 171, '{revenue,orders,deliveries,nutrition}'),
       '["total", "count"]', '["school", "day"]', '{"days": 30}', '[]', seed.day(n::integer),
       seed.user_key(seed.parents() + 1 + n % 1000), seed.day(n::integer), seed.day(n::integer)
  FROM generate_series(1, seed.analytics_report_rows()) AS n;
