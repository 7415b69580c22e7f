SELECT B.auction, B.price, B.bidder, B.date_time, B.extra
FROM (SELECT *, date_trunc('second', window_end) AS w FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND)) AS B
JOIN (
    SELECT max(price) AS maxprice, window_end AS w
    FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND)
    GROUP BY window_end
) AS B1
ON B.price = B1.maxprice AND B.w = B1.w
