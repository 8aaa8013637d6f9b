INSERT INTO payment_analytics (id, school_id, report_date, report_type, total_payments, total_refunds, net_revenue,
                               average_order_value, payment_count, refund_count, unique_customers, new_customers,
                               payment_success_rate, refund_rate, chargeback_count, card_payments, upi_payments,
                               wallet_payments, bank_transfers, active_subscriptions, new_subscriptions,
                               cancelled_subscriptions, subscription_revenue, created_at)
SELECT seed.payment_analytics_key(n), seed.school_key((n - 1) % 60 + 1), seed.day(back), 'daily', amount,
       amount * 0.05, amount * 0.95, amount / orders, orders, orders / 20, orders - orders / 10, orders / 50, 0.985,
       0.05, 0, amount * 0.2, amount * 0.65, amount * 0.1, amount * 0.05, orders / 4, orders / 90, orders / 120,
       amount * 0.1, seed.day(back)
  FROM (SELECT n, ((n - 1) / 60)::integer + 1 AS back, seed.whole(n, 281, 2000, 90000)::double precision AS amount,
               seed.whole(n, 282, 20, 600) AS orders
          FROM generate_series(1, seed.payment_analytics_rows()) AS n OFFSET 0) AS report;
