SELECT Q.id, Q.seller, avg(Q.price) OVER (PARTITION BY Q.seller ORDER BY Q.date_time ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS avg
FROM (
    SELECT id, seller, price, date_time
    FROM (
        SELECT A.id, A.seller, B.price, B.date_time, ROW_NUMBER() OVER (PARTITION BY A.id, A.seller ORDER BY B.price DESC) AS rownum
        FROM auction AS A JOIN bid AS B ON A.id = B.auction
        WHERE B.date_time BETWEEN A.date_time AND A.expires
    ) AS numbered
    WHERE rownum <= 1
) AS Q
