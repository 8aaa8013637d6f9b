INSERT INTO whatsapp_templates (id, name, category, status, components, created_at, updated_at)
SELECT seed.whatsapp_template_key(n), 'template_' || n, 'UTILITY', 'approved', '[{"type": "BODY"}]',
       seed.day(300), seed.day(200)
  FROM generate_series(1, seed.whatsapp_template_rows()) AS n;
