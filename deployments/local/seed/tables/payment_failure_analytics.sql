INSERT INTO payment_failure_analytics (id, school_id, report_date, total_failures, insufficient_funds, card_declined,
                                       network_errors, authentication_failed, other_failures, recovered_payments,
                                       recovered_amount, recovery_rate, lost_revenue, affected_customers, created_at)
SELECT seed.payment_failure_analytics_key(n), seed.school_key((n - 1) % 60 + 1), seed.day(back), failures,
       failures / 3, failures / 4, failures / 6, failures / 8, failures - failures / 3 - failures / 4 - failures / 6
         - failures / 8, failures / 2, failures * 60, 0.5, failures * 60, failures, seed.day(back)
  FROM (SELECT n, ((n - 1) / 60)::integer + 1 AS back, seed.whole(n, 291, 0, 12) AS failures
          FROM generate_series(1, seed.payment_failure_analytics_rows()) AS n OFFSET 0) AS report;
