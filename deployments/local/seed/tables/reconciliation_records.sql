INSERT INTO reconciliation_records (id, school_id, record_date, record_type, total_payments, total_refunds, total_fees,
                                    net_settlement, payment_count, refund_count, failed_payment_count,
                                    reconciliation_status, created_at, updated_at)
SELECT seed.reconciliation_record_key(n), seed.school_key((n - 1) % 60 + 1), seed.day(back), 'daily', amount,
       amount * 0.05, amount * 0.02, amount * 0.93, seed.whole(n, 232, 5, 300), seed.whole(n, 233, 0, 12),
       seed.whole(n, 234, 0, 4), 'matched', seed.day(back), seed.day(back)
  FROM (SELECT n, ((n - 1) / 60)::integer + 1 AS back, seed.whole(n, 231, 2000, 90000) AS amount
          FROM generate_series(1, seed.reconciliation_record_rows()) AS n) AS record;
