INSERT INTO invoice_templates (id, school_id, template_name, template_type, html_template, is_default, created_at,
                               updated_at)
SELECT seed.invoice_template_key(n), seed.school_key(n), 'Template of school ' || n, 'standard',
       '<h1>Invoice</h1>', true, seed.day(300), seed.day(300)
  FROM generate_series(1, seed.invoice_template_rows()) AS n;
